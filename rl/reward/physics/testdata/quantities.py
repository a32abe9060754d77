"""Writes quantities.json: units and pairs of quantities, judged by pint 0.25.3 (pip install pint)."""

import json
import os

import pint

ureg = pint.UnitRegistry(autoconvert_offset_to_baseunit=True)
BASE = ["[length]", "[mass]", "[time]", "[current]", "[temperature]", "[substance]", "[luminosity]"]

# Each unit in the spelling of this package, and after ":" in pint's if that differs.
UNITS = """m|km|mm|µm:um|μm:um|nm|cm|kg|g|mg|s|ms|µs:us|min|h|d|yr|A|mA|K|mK|mol|mmol|cd|rad|mrad|sr|Hz|kHz|GHz
N|kN|Pa|kPa|hPa|MPa|J|kJ|MJ|W|kW|GW|C|µC:uC|V|mV|kV|F|pF|Ω:ohm|kΩ:kohm|ohms:ohm|S|Wb|T|mT|H|mH|lm|lx
Bq|Gy|mSv|kat|%:percent|ppm|°:degree|deg|rev:turn|rpm|Å:angstrom|in|ft|yd|mi|nmi|au|ly|pc|Mpc|ha|L
mL|dL|gal|mph|kph|kn:knot|t|Da|u:amu|lb|oz|dyn|lbf|kgf|bar|mbar|atm|mmHg|Torr:torr|psi|eV|keV|MeV
cal|kcal|erg|kWh|Wh|BTU|hp|Ah|mAh|m/s|m/s^2:m/s**2|m s^-1:m*s**-1|m·s⁻²:m*s**-2|m/s²:m/s**2|km/h
kg*m/s^2:kg*m/s**2|kg m^2 s^-2:kg*m**2*s**-2|kg m2 s-3:kg*m**2*s**-3|N·m:N*m|N m:N*m
J/(kg K):J/(kg*K)|J/kg/K:J/kg/K|W/(m^2 K^4):W/(m**2*K**4)|V/m|kg/m^3:kg/m**3|g/cm³:g/cm**3|mol/L|1/s
s^{-1}:1/s|N/C|C/(V m):C/(V*m)|T m/A:T*m/A|m^3/(kg s^2):m**3/(kg*s**2)|rad/s|L/min|J s:J*s|N**2:N**2
kilometers per hour:km/h|meters per second:m/s|newton meters:N*m|metre|Joules:J|kilograms:kg
microseconds:us|megahertz:MHz|inches:in|feet:ft|liters:L|miles per hour:mi/h|electronvolts:eV
hours:h|degrees:degree""".replace("\n", "|")

# answer, answer in pint's spelling (None if the same), wanted, wanted in pint's spelling
PAIRS = [
    ("3 m", None, "300 cm", None),
    ("3 m", None, "3 cm", None),
    ("3 m", None, "3 s", None),
    ("72 km/h", None, "20 m/s", None),
    ("72 km/h", None, "21 m/s", None),
    ("9.81 m/s^2", None, "981 cm/s^2", None),
    ("9.81 m/s", None, "9.81 m/s^2", None),
    ("1 N", None, "1 kg m/s^2", "1 kg*m/s^2"),
    ("1 N m", "1 N*m", "1 J", None),
    ("1 N/m", None, "1 J", None),
    ("1 kWh", None, "3.6 MJ", None),
    ("1 kW", None, "3.6 MJ", None),
    ("1 cal", None, "4.184 J", None),
    ("1 kcal", None, "4.184 J", None),
    ("1 eV", None, "1.602e-19 J", None),
    ("13.6 eV", None, "2.179e-18 J", None),
    ("1 atm", None, "101.325 kPa", None),
    ("1 atm", None, "760 mmHg", None),
    ("1 bar", None, "1 atm", None),
    ("1 psi", None, "6894.76 Pa", None),
    ("25 °C", "25 degC", "298.15 K", None),
    ("25 °C", "25 degC", "25 K", None),
    ("77 °F", "77 degF", "25 °C", "25 degC"),
    ("0 °C", "0 degC", "273.15 K", None),
    ("-40 °C", "-40 degC", "-40 °F", "-40 degF"),
    ("180°", "180 degree", "3.14159 rad", None),
    ("50%", "0.5", "0.5", None),
    ("1 L", None, "1 dm^3", None),
    ("1 mL", None, "1 cm^3", None),
    ("1 L", None, "1 m^3", None),
    ("1 mi", None, "1.609344 km", None),
    ("1 nmi", None, "1 mi", None),
    ("1 ly", None, "9.461e15 m", None),
    ("1 pc", None, "3.2616 ly", None),
    ("1 au", None, "1.496e11 m", None),
    ("60 mph", "60 mph", "26.82 m/s", None),
    ("1 V/m", None, "1 N/C", None),
    ("1 T", None, "1 Wb/m^2", None),
    ("1 Wb", None, "1 V s", "1 V*s"),
    ("1 Ω", "1 ohm", "1 V/A", None),
    ("1 F", None, "1 C/V", None),
    ("1 H", None, "1 V s/A", "1 V*s/A"),
    ("1 Gy", None, "1 Sv", None),
    ("1 W", None, "1 J", None),
    ("1 W", None, "1 J/s", None),
    ("1 hp", None, "745.7 W", None),
    ("5 mmol", None, "0.005 mol", None),
    ("6.674×10^-11 m^3 kg^-1 s^-2", "6.674e-11 m^3/kg/s^2", "6.674e-11 N m^2/kg^2", "6.674e-11 N*m^2/kg^2"),
    ("8.314 J/(mol K)", "8.314 J/(mol*K)", "0.082057 L atm/(mol K)", "0.082057 L*atm/(mol*K)"),
    ("1.38e-23 J/K", None, "8.617e-5 eV/K", None),
    ("1.38e-23 J/K", None, "8.617e-5 eV", None),
    ("6.626e-34 J s", "6.626e-34 J*s", "4.1357e-15 eV s", "4.1357e-15 eV*s"),
    ("1 g/cm³", "1 g/cm^3", "1000 kg/m^3", None),
    ("1 g/cm^3", None, "1 kg/m^3", None),
    ("7 mg", None, "7e-6 kg", None),
    ("7 mg", None, "7e-3 kg", None),
    (r"3.00 \times 10^{8}\,\mathrm{m/s}", "3e8 m/s", "299792458 m/s", None),
    (r"$5\times10^{-3}\ \text{kg}\cdot\text{m}^2$", "5e-3 kg*m^2", "50 g m^2", "50 g*m^2"),
    (r"v = 12\,\frac{\mathrm{m}}{\mathrm{s}}", "12 m/s", "43.2 km/h", None),
    ("1,200 kg", "1200 kg", "1.2 t", None),
    ("−5 C", "-5 C", "-5 C", None),
    ("−5 C", "-5 C", "5 C", None),
    ("2.5 days", "2.5 day", "60 h", None),
    ("100 rpm", None, "10.472 rad/s", None),
    ("1.01 m", None, "1 m", None),
    ("1.02 m", None, "1 m", None),
    ("0.5 kg m/s", "0.5 kg*m/s", "0.5 N s", "0.5 N*s"),
    ("0.5 kg m/s", "0.5 kg*m/s", "0.5 N", None),
    ("3 A h", "3 A*h", "10800 C", None),
    ("4 m", None, "4", "4 dimensionless"),
]


def dimension(q):
    d = dict(q.dimensionality)
    assert all(v == int(v) for v in d.values()), d
    return [int(d.get(b, 0)) for b in BASE]


def base(text):
    number, _, unit = text.partition(" ")
    return ureg.Quantity(float(number), unit or "dimensionless").to_base_units()


units = []
for entry in UNITS.split("|"):
    ours, _, theirs = entry.partition(":")
    if not ours:
        continue
    q = ureg.Quantity(1, theirs or ours).to_base_units()
    units.append({"unit": ours, "factor": float(q.magnitude), "dimension": dimension(q)})

pairs = []
for got, pint_got, want, pint_want in PAIRS:
    g, w = base(pint_got or got), base(pint_want or want)
    if dimension(g) != dimension(w):
        verdict = "dimension"
    else:
        verdict = "equal" if abs(g.magnitude - w.magnitude) <= 0.0101 * abs(w.magnitude) else "value"
    pairs.append({"got": got, "want": want, "verdict": verdict})

with open(os.path.join(os.path.dirname(__file__), "quantities.json"), "w", encoding="utf-8") as f:
    f.write(
        '{\n "units": [\n'
        + ",\n".join("  " + json.dumps(u, ensure_ascii=False) for u in units)
        + '\n ],\n "pairs": [\n'
        + ",\n".join("  " + json.dumps(p, ensure_ascii=False) for p in pairs)
        + "\n ]\n}\n"
    )
