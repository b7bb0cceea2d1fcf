"""What xgrammar says of a form that it cannot keep to, in words for a caller."""

import re


def fault_of(error: Exception) -> str:
    """Returns the message without the time and the source line that xgrammar puts before it."""
    # "[02:12:35] /project/cpp/regex_converter.cc:83: Regex parsing error at …"
    message = str(error.args[0] if error.args else error)
    return re.sub(r"\[[\d:]+\] \S+: (Check failed: \(.*?\) is false: )?", "", message).strip()
