"""Where figures come from: a model here, a server elsewhere, or the provider's own logprobs.

Each module is imported by its own name: `local` loads torch, the others do not. `chain` tries
several in an order; `scored` has what they take and give.
"""
