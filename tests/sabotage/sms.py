"""Remove safeguards of text messages, which gateways have."""

from datetime import datetime

from twilio.request_validator import RequestValidator

from gateway.sms.store import Record


def no_signatures() -> None:
    """Take every request for one of the provider."""
    RequestValidator.validate = lambda *_: True


def no_claims() -> None:
    """Answer a text while another one of the same phone is being answered."""

    def claimed(record: Record, _now: datetime) -> Record:
        return record

    Record.claimed = claimed  # type: ignore[assignment,method-assign]
