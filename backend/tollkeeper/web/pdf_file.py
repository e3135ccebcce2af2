"""Send an invoice or a credit note as PDF: the API and the pages both do."""

from flask import Response

from tollkeeper.invoices.pdf import Pdf


def send_pdf(pdf: Pdf) -> Response:
    """Return the printed document as a file to keep."""
    answer = Response(pdf.content, mimetype="application/pdf")
    answer.headers.set("Content-Disposition", "attachment", filename=pdf.name)
    return answer
