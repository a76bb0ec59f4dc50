"""Answers from journal files alone, whoever wrote them: SQL over the files themselves."""

from cert_otel.analysis.costs import CostAnalyzer
from cert_otel.analysis.summary import By, CostRow, CostSummary

__all__ = ["By", "CostAnalyzer", "CostRow", "CostSummary"]
