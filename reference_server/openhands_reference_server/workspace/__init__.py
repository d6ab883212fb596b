"""The workspaces of conversations: real directories with real git repositories in them.

`paths` decides which names are safe, `files` reads and writes, `git` runs the git command, `microagents`
reads what a repository teaches its agents, and `workspaces` finds the workspace of a conversation.
"""
