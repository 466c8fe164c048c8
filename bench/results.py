"""What a run found: measurements, their medians over the rounds, and ratios between peers.

Promises: a ratio is the median of the ratios of each round, in which both stood next to each other;
a measurement that failed is in no figure and in the list of failures. Everything is in the JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from bench.measurement import Measurement
from bench.scenarios import PEERS, SCENARIOS, Scenario


@dataclass(slots=True)
class Results:
    """All measurements of one run, and on what they were made."""

    machine: dict[str, str] = field(default_factory=dict)
    rounds: int = 0
    seconds: float = 0.0
    measurements: list[Measurement] = field(default_factory=list)
    syncs: dict[str, dict[str, float]] = field(default_factory=dict)
    """Syncs for each delivery, by `scenario/peer` and call."""

    def scenarios(self) -> list[Scenario]:
        """Those of which something was measured."""
        seen = {found.scenario for found in self.measurements}
        return [scenario for scenario in SCENARIOS if scenario.name in seen]

    def peers(self, scenario: Scenario) -> list[str]:
        """Those of which a figure of this scenario is known."""
        return [peer for peer in PEERS if any(self._good(scenario.name, peer))]

    def values(self, scenario: Scenario, peer: str, figure: str) -> list[float]:
        """A figure in all rounds."""
        values = (getattr(found, figure) for found in self._good(scenario.name, peer))
        return [value for value in values if value is not None]

    def median(self, scenario: Scenario, peer: str, figure: str) -> float | None:
        """The median of a figure over the rounds."""
        values = self.values(scenario, peer, figure)
        return median(values) if values else None

    def syncs_per_delivery(self, scenario: Scenario, peer: str) -> float | None:
        """All syncs together, whichever call."""
        counts = self.syncs.get(f"{scenario.name}/{peer}")
        return sum(counts.values()) if counts else None

    def ratio(self, scenario: Scenario, figure: str, peer: str, to: str) -> float | None:
        """The median over the rounds of a figure of one peer against that of another."""
        others = {found.round: getattr(found, figure) for found in self._good(scenario.name, to)}
        ratios = [
            getattr(found, figure) / others[found.round]
            for found in self._good(scenario.name, peer)
            if others.get(found.round)
        ]
        return median(ratios) if ratios else None

    def failures(self) -> list[Measurement]:
        """What did not work."""
        return [found for found in self.measurements if found.failure]

    def write(self, path: Path) -> None:
        """Everything, as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @staticmethod
    def read(path: Path) -> Results:
        """What `write` wrote."""
        told = json.loads(path.read_text())
        told["measurements"] = [Measurement(**found) for found in told["measurements"]]
        return Results(**told)

    def _good(self, scenario: str, peer: str) -> Iterator[Measurement]:
        for found in self.measurements:
            if (found.scenario, found.peer) == (scenario, peer) and not found.failure:
                yield found
