"""What the names of a source's files and the tables among them say: splits, classes, domains, attributes, and what is left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from ganvas.data.arrangement import Arrangement
from ganvas.data.decode import LEAST_SIDE
from ganvas.data.domains import Domains, domains_of
from ganvas.data.examples import Rejected
from ganvas.data.layout import Layout, arrange
from ganvas.data.stores import Entry, Store
from ganvas.data.survey import Record
from ganvas.data.tables import Facts, is_table, read
from ganvas.data.words import shown
from ganvas.errors import GanvasError


@final
@dataclass(frozen=True)
class Listing:
    """The files that may be images, what else lies there, and what is known of them by name."""

    entries: list[Entry]
    rejected: list[Rejected]
    layout: Layout
    domains: Domains | None
    facts: Facts

    @property
    def halved(self) -> bool:
        """Whether every picture holds two images."""
        return self.domains is not None and self.domains.halves is not None

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self.facts.notes, *self.layout.notes)

    def split_of(self, name: str) -> str | None:
        """The split that a file belongs to; None if it lies outside."""
        place = self.layout.place(name)
        return None if place is None else place[0]

    def class_of(self, name: str) -> str:
        """The class of a file by the table of labels or by its folder, or its domain; "" if it has none."""
        if self.facts.labels is not None:
            return self.facts.labels.get(name, "")
        place = self.layout.place(name)
        return "" if place is None else place[1]

    def divided(self, records: Sequence[Record]) -> tuple[dict[str, list[Record]], list[Rejected]]:
        """The usable records of each split, and whatever is not used with the reason."""
        splits: dict[str, list[Record]] = {split: [] for split in self.layout.splits}
        left = list(self.rejected)
        broken = {record.name for record in records if record.reason}
        labelled = {self.split_of(name) for name in self.facts.labels or ()}
        described = {self.split_of(name) for name in self.facts.bits}
        for record in records:
            split = self.split_of(record.name)
            if record.reason or split is None:
                left.append(Rejected(record.name, record.reason or self.layout.reason(record.name)))
                continue
            reason = self._unpaired(record, broken)
            if split in labelled and record.name not in (self.facts.labels or ()):
                reason = f"has no label in '{self.facts.tables['labels']}'"
            elif split in described and record.name not in self.facts.bits:
                reason = f"has no attributes in '{self.facts.tables['attributes']}'"
            if reason:
                left.append(Rejected(record.name, reason))
            else:
                splits[split].append(record)
        return splits, sorted(left, key=lambda one: one.path)

    def _unpaired(self, record: Record, broken: set[str]) -> str:
        """Why a picture cannot stand in one of two domains, or ""."""
        domains = self.domains
        if domains is None:
            return ""
        if domains.halves is not None:
            narrow = record.width < 2 * LEAST_SIDE
            return f"has {record.width} x {record.height} pixels: too narrow for two halves" if narrow else ""
        domain = self.class_of(record.name)
        if domain not in domains.names:
            return f"lies outside the folders of the two domains ({' and '.join(map(shown, domains.names))})"
        if not domains.aligned:
            return ""
        partner = domains.partners.get(record.name)
        if partner is None:
            return f"has no partner of its name in {shown(domains.names[1 - domains.names.index(domain)])}"
        return f"is paired with '{shown(partner)}', which cannot be used" if partner in broken else ""


def list_images(source: str, store: Store, arrangement: Arrangement, known: Facts | None) -> Listing:
    """The listing of a store's files. `known` are facts that come from elsewhere; tables are then not looked for."""
    entries, rejected = store.entries()
    tables = [] if known is not None else [entry.name for entry in entries if is_table(entry.name)]
    entries = [entry for entry in entries if not is_table(entry.name)] if tables else entries
    if not entries:
        why = reasons(rejected) if rejected else "it is empty"
        raise GanvasError(f"'{source}' holds no image: {why}. Pass a folder or zip of PNG, JPEG, WebP, BMP or GIF images.")
    names = [entry.name for entry in entries]
    layout = arrange(names)
    domains = domains_of(source, names, layout, arrangement)
    if domains is not None:
        notes = tuple(f"'{shown(table)}' is not used: images of two domains have no labels" for table in tables)
        layout = layout if domains.halves is None else arrange(names, classes=False)
        return Listing(entries, rejected, layout, domains, Facts(notes=notes))
    facts = known or read(source, store, tables, names)
    return Listing(entries, rejected, arrange(names, classes=False) if facts.about_labels else layout, None, facts)


def reasons(rejected: Sequence[Rejected], most: int = 3) -> str:
    """The first few rejected files with their reasons, on one line."""
    named = "; ".join(f"'{shown(one.path)}' {one.reason}" for one in rejected[:most])
    return named + (f"; and {len(rejected) - most:,} more" if len(rejected) > most else "")
