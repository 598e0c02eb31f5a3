"""Sentences written for the demo.

Every one says the same: *The children read old books in the garden.*
"""

from __future__ import annotations

SENTENCES = {
    "en": "The children read old books in the garden .",
    "gv": "Ta ny paitchyn lhaih shenn lioaryn ayns y gharey .",
    "cy": "Mae 'r plant yn darllen hen lyfrau yn yr ardd .",
    "fo": "Børnini lesa gamlar bøkur í urtagarðinum .",
    "zu": "Izingane zifunda izincwadi ezindala engadini .",
    "mt": "It- tfal jaqraw kotba qodma fil- ġnien .",
}
