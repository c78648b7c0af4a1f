from hobbit.api import hookimpl


@hookimpl
def hobbit_config_paths():
    return ["pkg://docs.examples.conf"]  # a folder with policy/example.yaml, cache/..., device/...
