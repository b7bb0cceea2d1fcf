"""A platform of SGLang's (its own way to add hardware): the CPU, every fused operation in plain torch. For tests."""


def activate() -> str:
    """Returns where the platform is, as SGLang asks for it."""
    return "sglang_plain_cpu.platform.PlainCPU"
