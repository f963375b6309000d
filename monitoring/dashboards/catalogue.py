"""All dashboards."""

from typing import Final

from monitoring.dashboards import autoscaling, cache, model, service
from monitoring.dashboards.panels import Dashboard

DASHBOARDS: Final[tuple[Dashboard, ...]] = (
    service.DASHBOARD,
    cache.DASHBOARD,
    model.DASHBOARD,
    autoscaling.DASHBOARD,
)
