"""Rows of the catalogue: name, selector, CF standard name, units, long name, first init time, and products.

A row without products is about all of them, or it is not known which have the variable.
"""

from __future__ import annotations

from typing import Final

from hrrr_dask.catalog.products import ARCHIVE_START, ERAS, PRODUCTS

__all__ = ["DEFAULT_ROWS", "OTHER_ROWS"]

_HOURLY: Final = tuple(name for name, product in PRODUCTS.items() if product.step_minutes == 60)
_QUARTERS: Final = ("subh",)


_V1 = ARCHIVE_START
_V2 = ERAS["conus"][1].start
DEFAULT_ROWS: Final = (
    ("surface_pressure", "PRES:surface:instant", "surface_air_pressure", "Pa", "surface pressure", _V1),
    (
        "surface_roughness",
        "SFCR:surface:instant",
        "surface_roughness_length",
        "m",
        "surface roughness length",
        _V1,
        _HOURLY,
    ),
    (
        "visible_beam_downward_solar_flux",
        "VBDSF:surface:instant",
        "surface_direct_along_beam_shortwave_flux_in_air",
        "W m-2",
        "direct normal solar irradiance",
        _V2,
    ),
    (
        "visible_diffuse_downward_solar_flux",
        "VDDSF:surface:instant",
        "surface_diffuse_downwelling_shortwave_flux_in_air",
        "W m-2",
        "diffuse horizontal solar irradiance",
        _V2,
    ),
    ("temperature_2m", "TMP:2 m above ground:instant", "air_temperature", "K", "air temperature at 2 m", _V1),
    ("dewpoint_2m", "DPT:2 m above ground:instant", "dew_point_temperature", "K", "dew point at 2 m", _V1),
    (
        "relative_humidity_2m",
        "RH:2 m above ground:instant",
        "relative_humidity",
        "%",
        "relative humidity at 2 m",
        _V2,
        _HOURLY,
    ),
    (
        "u_component_wind_10m",
        "UGRD:10 m above ground:instant",
        "eastward_wind",
        "m s-1",
        "eastward wind at 10 m, earth-relative",
        _V1,
    ),
    (
        "v_component_wind_10m",
        "VGRD:10 m above ground:instant",
        "northward_wind",
        "m s-1",
        "northward wind at 10 m, earth-relative",
        _V1,
    ),
    (
        "u_component_wind_80m",
        "UGRD:80 m above ground:instant",
        "eastward_wind",
        "m s-1",
        "eastward wind at 80 m, earth-relative",
        _V1,
    ),
    (
        "v_component_wind_80m",
        "VGRD:80 m above ground:instant",
        "northward_wind",
        "m s-1",
        "northward wind at 80 m, earth-relative",
        _V1,
    ),
)
"""Variables that are read by default from hourly products, in this order."""

OTHER_ROWS: Final = (
    ("wind_gust_surface", "GUST:surface:instant", "wind_speed_of_gust", "m s-1", "wind gust", _V1),
    (
        "downward_shortwave_flux",
        "DSWRF:surface:instant",
        "surface_downwelling_shortwave_flux_in_air",
        "W m-2",
        "global horizontal solar irradiance",
        _V1,
    ),
    (
        "total_cloud_cover",
        "TCDC:entire atmosphere:instant",
        "cloud_area_fraction",
        "%",
        "total cloud cover",
        _V1,
        _HOURLY,
    ),
    (
        "precipitation_1h",
        "APCP:surface:1 hour acc",
        "precipitation_amount",
        "kg m-2",
        "precipitation of the last hour",
        _V1,
        _HOURLY,
    ),
    (
        "boundary_layer_height",
        "HPBL:surface:instant",
        "atmosphere_boundary_layer_thickness",
        "m",
        "height of the planetary boundary layer",
        _V1,
        _HOURLY,
    ),
    (
        "composite_reflectivity",
        "REFC:entire atmosphere:instant",
        "equivalent_reflectivity_factor",
        "dBZ",
        "composite radar reflectivity",
        _V1,
    ),
    (
        "downward_shortwave_flux_15min",
        "DSWRF:surface:15 min ave",
        "surface_downwelling_shortwave_flux_in_air",
        "W m-2",
        "global horizontal solar irradiance, mean of 15 minutes",
        _V1,
        _QUARTERS,
    ),
    (
        "visible_beam_downward_solar_flux_15min",
        "VBDSF:surface:15 min ave",
        "surface_direct_along_beam_shortwave_flux_in_air",
        "W m-2",
        "direct normal solar irradiance, mean of 15 minutes",
        _V2,
        _QUARTERS,
    ),
    (
        "precipitation_15min",
        "APCP:surface:15 min acc",
        "precipitation_amount",
        "kg m-2",
        "precipitation of the last 15 minutes",
        _V1,
        _QUARTERS,
    ),
    (
        "u_component_wind_10m_5min",
        "UGRD:10 m above ground:5 min ave",
        "eastward_wind",
        "m s-1",
        "eastward wind at 10 m, earth-relative, mean of 5 minutes",
        _V1,
        _QUARTERS,
    ),
    (
        "v_component_wind_10m_5min",
        "VGRD:10 m above ground:5 min ave",
        "northward_wind",
        "m s-1",
        "northward wind at 10 m, earth-relative, mean of 5 minutes",
        _V1,
        _QUARTERS,
    ),
    (
        "wind_speed_10m_5min",
        "WIND:10 m above ground:5 min ave",
        "wind_speed",
        "m s-1",
        "wind speed at 10 m, mean of 5 minutes",
        _V1,
        _QUARTERS,
    ),
)
"""All others that have a name."""
