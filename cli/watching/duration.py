"""Times as a person would say them."""


def duration(seconds: float | None) -> str:
    """Write a time as a person would say it.

    >>> duration(75), duration(8000), duration(200_000)
    ('1:15', '2 h 13 min', '2 d 7 h')

    :param seconds: None gives nothing
    """
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes}:{rest:02d}"
