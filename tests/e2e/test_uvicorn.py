"""The heart of these suites once more on the faster server; `make test-uvicorn` runs all of them on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_proxy_site.server.choice import UVICORN, missing_modules
from tests.e2e import (
    test_draining,
    test_edges,
    test_flow,
    test_sdk,
    test_slow_clients,
    test_smuggling,
    test_websocket,
    test_websocket_ends,
    test_websocket_sdk,
)
from tests.live import LiveProxy, serving

pytestmark = pytest.mark.skipif(
    bool(missing_modules(UVICORN)), reason="the extra `fast` is not installed (requirements-fast.txt)"
)

wire = test_edges.wire
client = test_sdk.client

test_chat = test_sdk.test_chat_is_answered_and_metered
test_stream = test_sdk.test_chat_streams_and_its_usage_is_read
test_file = test_sdk.test_a_file_is_uploaded_and_downloaded
test_reads_nothing = test_flow.test_a_client_that_reads_nothing_holds_little_memory
test_hangup_in_a_stream = test_flow.test_a_hangup_in_a_stream_closes_upstream_within_a_second
test_hangup_in_an_upload = test_flow.test_a_hangup_in_the_middle_of_an_upload_ends_both_sides
test_refused_upload = test_flow.test_a_large_upload_with_a_bad_token_is_refused_before_it_is_read
test_read_on = test_draining.test_a_stream_is_read_on_to_learn_what_it_has_used
test_sigterm = test_flow.test_sigterm_lets_a_stream_end_whole_and_keeps_its_record
test_sent_ahead = test_flow.test_requests_that_were_sent_ahead_are_answered_after_sigterm
test_framing = test_edges.test_what_is_no_plain_http_is_refused_and_does_not_reach_upstream
test_line_ends = test_edges.test_a_head_with_other_line_ends_is_refused
test_pipelining = test_edges.test_pipelined_requests_are_answered_in_their_order
test_continue = test_edges.test_a_client_that_expects_100_gets_it_when_its_body_is_wanted
test_smuggled = test_smuggling.test_no_request_hides_in_another
test_trickling_head = test_slow_clients.test_a_head_that_trickles_is_answered_408
test_missing_body = test_slow_clients.test_a_body_that_does_not_come_is_answered_408
test_address = test_slow_clients.test_an_address_has_no_more_connections_than_it_may
test_full = test_slow_clients.test_a_full_server_lets_others_wait_and_takes_them_then
test_socket = test_websocket.test_messages_pass_both_ways_as_they_are
test_socket_refusals = test_websocket.test_what_may_not_be_opened_is_refused_in_http
test_socket_waits = test_websocket.test_upstream_is_not_read_while_the_client_does_not_read
test_socket_too_large = test_websocket.test_a_message_beyond_the_limit_is_refused_by_1009
test_socket_closes = test_websocket_ends.test_upstreams_close_code_and_reason_are_relayed
test_socket_stops = test_websocket_ends.test_a_server_that_stops_tells_by_1012
test_socket_sdk = test_websocket_sdk.test_a_realtime_conversation


@pytest.fixture(scope="module")
def _live(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveProxy]:
    with serving(tmp_path_factory.mktemp("uvicorn"), is_measured=True, SERVER=UVICORN) as live:
        yield live


@pytest.fixture
def private_live(
    django_db_setup: None, transactional_db: None, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[LiveProxy]:
    with serving(tmp_path, SERVER=UVICORN, **getattr(request, "param", {})) as live:
        yield live
