"""The gate before a Twisted transport."""

from llm_proxy_site.server.gate import WriteGate


class ProducerGate(WriteGate):
    """A Twisted push producer."""

    pauseProducing = WriteGate.close
    resumeProducing = WriteGate.open
    stopProducing = WriteGate.open
    """The connection is gone."""
