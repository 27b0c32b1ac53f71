"""Requests one after the other on a connection, that a careless reader would take for others."""

HOST = b"Host: proxy.example\r\n"
HIDDEN = b"GET /hidden HTTP/1.1\r\n" + HOST + b"\r\n"
WHOLE = b"".join(
    [
        b"POST /declared HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
        b"\r\nGET /after-an-empty-line?a=1 HTTP/1.1\r\n" + HOST + b"\r\n",
        b"POST /chunked HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n",
        b"%x;name=value\r\n%b\r\n0\r\nX-Trailer: 1\r\n\r\n" % (len(HIDDEN), HIDDEN),
        b"X-CUSTOM /method HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"POST /upgrade HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
        b"Content-Length:\t%d \t\r\n\r\n" % len(HIDDEN) + HIDDEN,
        b"POST /chunked-upgrade HTTP/1.1\r\n" + HOST + b"Proxy-Connection: Upgrade\r\nUpgrade: h2c\r\n",
        b"Transfer-Encoding: chunked \r\n\r\n%x\r\n%b\r\n0\r\n" % (len(HIDDEN), HIDDEN),
        b"Connection: Upgrade, close\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\n",
        b"PUT /no-trailer HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        b"GET /last HTTP/1.0\r\n\r\n",
    ]
)
READ = [
    (b"POST", b"/declared", HIDDEN),
    (b"GET", b"/after-an-empty-line?a=1", b""),
    (b"POST", b"/chunked", HIDDEN),
    (b"X-CUSTOM", b"/method", b""),
    (b"POST", b"/upgrade", HIDDEN),
    (b"POST", b"/chunked-upgrade", HIDDEN),
    (b"PUT", b"/no-trailer", b"x"),
    (b"GET", b"/last", b""),
]
BAD_TRAILERS = [b"X-Trailer", b" X-Trailer: 1", b"X Trailer: 1", b"X-Trailer : 1", b": 1", b"X-Trailer: a\nb"]
