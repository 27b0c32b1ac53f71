"""LiteLLM's proxy with one model and its master key: no database, so no keys, budgets or spend of its own."""

import json
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from llm_proxy_site.bench import UPSTREAM_KEY
from llm_proxy_site.bench.peers.program import Program, free_port, output_of, serving
from llm_proxy_site.bench.targets import Server, Target
from llm_proxy_site.processes import MANAGE

NAME = "litellm"
_PROGRAMS = MANAGE.parent / ".venv-peers" / "bin"
_MASTER_KEY = "sk-bench-litellm"
_ENVIRONMENT = {
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "NO_DOCS": "True",
}


def version() -> str | None:
    return output_of(
        str(_PROGRAMS / "python"), "-c", "import importlib.metadata as m; print(m.version('litellm'))"
    )


def server(upstream: Target, folder: Path) -> Server:
    # YAML, of which JSON is a part.
    (folder / "litellm.yaml").write_text(json.dumps(_configuration(upstream)))
    return Server(NAME, partial(_start, folder))


def _configuration(upstream: Target) -> dict[str, object]:
    """It must pass on headers that begin with `x-`, by which the load tells upstream what to answer."""
    return {
        "model_list": [
            {
                "model_name": "gpt-4o-mini",
                "litellm_params": {
                    "model": "openai/gpt-4o-mini",
                    "api_base": upstream.base_url,
                    "api_key": UPSTREAM_KEY,
                },
            }
        ],
        "litellm_settings": {"telemetry": False, "callbacks": [], "cache": False, "num_retries": 0},
        "general_settings": {
            "master_key": _MASTER_KEY,
            "forward_client_headers_to_llm_api": True,
            "disable_spend_logs": True,
            "disable_error_logs": True,
        },
    }


def _start(folder: Path) -> AbstractContextManager[list[Target]]:
    port = free_port()
    command = (
        *("env", "-u", "DATABASE_URL"),  # that would be ours
        *(str(_PROGRAMS / "litellm"), "--config", "litellm.yaml", "--num_workers", "1"),
        *("--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"),
    )
    target = Target(NAME, f"http://127.0.0.1:{port}/v1", _MASTER_KEY, pid=0)
    return serving(Program(command, folder, _ENVIRONMENT), target)
