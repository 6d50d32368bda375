"""Long work that nobody waits for: prices, payments, data packages (design, idea 6).

A job is a chain of short steps. Its state is one blob, its progress one scheduled message per step on the
queue `jobs`; no function ever sleeps. `job.Job` is what a new kind must say, `runner.JobRunner` starts jobs
and runs their steps, `store.JobStore` shows them.
"""
