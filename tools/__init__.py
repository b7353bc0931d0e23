"""What an assistant can do: a registry with schemas from type hints, an executor, and one file per set of tools."""
