"""Policies as files that need neither torch nor Stable-Baselines3: ONNX, NumPy arrays, TorchScript.

Nothing is imported here: :mod:`sb3_ddpg_custom.export.player` runs where there is only NumPy.
"""
