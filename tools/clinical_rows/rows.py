"""All rows, in order."""

from __future__ import annotations

from typing import Final

from clinical_rows.cases import Row
from clinical_rows.rows_other import ROWS_E
from clinical_rows.rows_paced import ROWS_C
from clinical_rows.rows_rate import ROWS_B
from clinical_rows.rows_rhythm import ROWS_D67
from clinical_rows.rows_still import ROWS_A
from clinical_rows.rows_ventricular import ROWS_D

ROWS: Final[dict[str, Row]] = {row.name: row for row in (*ROWS_A, *ROWS_B, *ROWS_C, *ROWS_D, *ROWS_D67, *ROWS_E)}
