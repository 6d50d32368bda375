"""The data management framework of the F&O stand-in: data packages in and out (F&O contract 6)."""

from sandbox.d365.dmf.packages import Packages

__all__ = ["Packages"]
