"""The in-memory twin of `storage.archives`, `storage.library`, `storage.people` and `storage.events`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from storage.errors import (
    ArchiveExists,
    BadValue,
    UnknownArchive,
    UnknownComponent,
    UnknownFamily,
    UnknownFile,
    UnknownPerson,
    UnknownSeries,
    UnknownSource,
)
from storage.library import mimetype_of
from storage.memory_rows import (
    COMPONENTS,
    FAMILIES,
    AliasRow,
    ChrootRow,
    MemoryFarm,
    PublicationRow,
    SourceRow,
)
from storage.records import (
    Alias,
    Archive,
    ArchivePurpose,
    Chroot,
    DistroArchSeries,
    Event,
    NewSource,
    Person,
    Pocket,
    ProcessorFamily,
    PublishingStatus,
    Source,
    StoredFile,
)
from storage.words import archive_name, check_files, check_word, dsc_of
