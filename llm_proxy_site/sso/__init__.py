"""Single sign-on: people whom an OpenID Connect provider vouches for. Who they are here: accounts.py."""
