"""Records that were deleted or merged in Salesforce, as flows on the one engine.

`flow` wraps the flow of a live record and takes over those that are gone; `holders` says what hangs on them
in F&O; `decisions` is pure; `merges` tells who was merged into whom.
"""
