"""A page that needs nothing else: style and images are inside."""
