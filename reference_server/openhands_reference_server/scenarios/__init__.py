"""Scenarios: YAML files that say how conversations start and what the scripted agent does.

`format.py` is the format, from which the JSON Schema is made; `reading.py` reads a file and says what is
wrong in which line; `templates.py` fills in replies; `playing.py` plays a scenario as a `Script`.
"""

from openhands_reference_server.scenarios.playing import Scenario
from openhands_reference_server.scenarios.reading import ScenarioError, ScenarioSource, read

__all__ = ["Scenario", "ScenarioError", "ScenarioSource", "load"]


def load(source: ScenarioSource) -> Scenario:
    """A scenario, ready to be played.

    Args:
        source: the path of a YAML file, YAML text (recognised by a line break), or what such a file holds.

    Raises:
        ScenarioError: it is no scenario; says all that is wrong, with lines where there are lines.
    """
    document, folder = read(source)
    return Scenario(document, folder)
