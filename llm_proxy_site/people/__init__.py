"""Who works here: how they sign in, and what is kept of them. What they may do: projects.access, roles.py."""
