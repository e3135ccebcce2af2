"""Send the usage behind an invoice as a file, row by row: the API and the pages both do."""

from collections.abc import Iterator

from flask import Response, stream_with_context

from tollkeeper.invoices.reading import get_invoice
from tollkeeper.invoices.usage_csv import usage_csv
from tollkeeper.web.context import snapshot


def send_usage(id_or_number: str) -> Response:
    """Return the CSV of an invoice's usage; it is read while it is sent. Raises NotFound before the first byte."""
    with snapshot() as session:
        invoice = get_invoice(session, id_or_number)

    def rows() -> Iterator[str]:
        with snapshot() as session:
            yield from usage_csv(session, invoice)

    answer = Response(stream_with_context(rows()), mimetype="text/csv")
    answer.headers.set("Content-Disposition", "attachment", filename=f"{invoice.number or invoice.id}-usage.csv")
    return answer
