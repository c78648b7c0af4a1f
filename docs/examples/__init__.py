"""The smallest plugin for each hook, shown on the hooks page and run by the tests."""
