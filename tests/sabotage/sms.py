"""Remove safeguards of text messages, which gateways have."""

from twilio.request_validator import RequestValidator


def no_signatures() -> None:
    """Take every request for one of the provider."""
    RequestValidator.validate = lambda *_: True
