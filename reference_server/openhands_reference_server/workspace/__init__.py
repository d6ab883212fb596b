"""The workspaces of conversations and sandboxes: real directories with real git repositories in them.

`paths` decides which names are safe, `files` reads and writes, `git` runs the git command, `microagents`
reads what a repository teaches its agents, `workspaces` finds the workspace of a V0 conversation, and
`sandbox_files` that of a sandbox.
"""
