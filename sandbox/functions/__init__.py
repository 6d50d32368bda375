"""A local host for an unmodified Azure Functions project, built on Microsoft's own worker package.

The real host and Core Tools are not installable from a package registry, so a fresh clone could not
run the app without them. `python -m sandbox.functions --project . --settings settings.json` does.
"""
