"""The pages that are made from the hooks, the registry and the YAML files."""
