"""The fronts of docs/scaling.md."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.documents.blocks import ROOT, blocks
from tests.proxy.tracing.test_exporter import self_signed

TEXT = (ROOT / "docs/scaling.md").read_text(encoding="utf-8")
(NGINX,) = (block.text for block in blocks("docs/scaling.md", "nginx"))
(HAPROXY,) = (block.text for block in blocks("docs/scaling.md", "haproxy"))


def test_they_end_tls_and_say_so() -> None:
    assert "listen 443 ssl;" in NGINX
    assert "proxy_set_header X-Forwarded-Proto https;" in NGINX
    assert re.search(r"bind :443 ssl crt \S+\n", HAPROXY)
    assert "http-request set-header X-Forwarded-Proto https\n" in HAPROXY


def test_the_settings_that_believe_them_are_named() -> None:
    assert "Set `TRUSTED_PROXY_COUNT=1` and `USE_X_FORWARDED_PROTO=true`" in TEXT


def test_nginx_takes_it(tmp_path: Path) -> None:
    if not (program := shutil.which("nginx") or shutil.which("/usr/sbin/nginx")):
        pytest.skip("needs nginx")
    (beside,) = re.findall(r"`(map .*\})` beside it", TEXT)
    both = self_signed(tmp_path / "llm-proxy.pem")
    servers = re.sub(r"/etc/ssl/private/\S+\.(crt|key)", str(both), NGINX)
    file = tmp_path / "nginx.conf"
    file.write_text(f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ {beside}\n{servers} }}")

    done = subprocess.run([program, "-t", "-c", file], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
