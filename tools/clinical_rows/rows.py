"""All rows, in order."""

from __future__ import annotations

from typing import Final

from clinical_rows.cases import Row
from clinical_rows.rows_rate import ROWS_B
from clinical_rows.rows_still import ROWS_A

ROWS: Final[dict[str, Row]] = {row.name: row for row in (*ROWS_A, *ROWS_B)}
