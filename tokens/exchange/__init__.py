"""Access tokens for those who prove who they are: a JWT of an OpenID Connect issuer, such as GitHub Actions
or a Kubernetes cluster, is exchanged for a withering token (RFC 8693) where a trust rule says so. No secret
is stored anywhere.
"""
