package reencode

import (
	"bytes"
	"math"
	"strconv"
	"strings"
)

// digits says how software writes the numbers that it has read as floats.
type digits struct {
	// A number has an exponent if its decimal point would stand before the digit
	// low, or after the digit high.
	low, high int

	exponent  string // "e" or "E", with the plus sign if it is written
	wide      bool   // an exponent has two digits or more
	mantissa  bool   // 4.0e-06, not 4e-06
	fraction  bool   // 1.0, not 1
	noMinus   bool   // 0, not -0
	toInteger bool   // integers are read as floats too
}

var (
	pythonDigits     = digits{low: -3, high: 16, exponent: "e+", wide: true, fraction: true}
	javaScriptDigits = digits{low: -5, high: 21, exponent: "e+", noMinus: true, toInteger: true}
	goDigits         = digits{low: -5, high: 21, exponent: "e+", toInteger: true}
	phpDigits        = digits{low: -3, high: 17, exponent: "e+", mantissa: true}
	rubyDigits       = digits{low: -3, high: 16, exponent: "e+", wide: true, mantissa: true, fraction: true}
	javaDigits       = digits{low: -2, high: 7, exponent: "E", mantissa: true, fraction: true}
	dotnetDigits     = digits{low: -3, high: 15, exponent: "E+", wide: true}
	jqDigits         = digits{low: -3, high: 17, exponent: "e+", wide: true, toInteger: true}
	rustDigits       = digits{low: -4, high: 16, exponent: "e", fraction: true}
)

func (d digits) withFraction() digits {
	d.fraction = true
	return d
}

func (d digits) ofIntegers() digits {
	d.toInteger = true
	return d
}

func numbersOf(all ...digits) []number {
	numbers := make([]number, 0, len(all))
	for _, d := range all {
		numbers = append(numbers, d.write)
	}
	return numbers
}

// write writes a number as the software would that has read it.
func (d digits) write(out []byte, _ place, text []byte) []byte {
	if !d.toInteger && !isFloat(text) {
		return append(out, text...)
	}
	number, err := strconv.ParseFloat(string(text), 64)
	if err != nil { // too large for a float
		return append(out, text...)
	}
	return d.append(out, number)
}

func (d digits) append(out []byte, number float64) []byte {
	if number < 0 || number == 0 && math.Signbit(number) && !d.noMinus {
		out, number = append(out, '-'), -number
	}
	number = math.Abs(number)
	shortest := strconv.FormatFloat(number, 'e', -1, 64)
	significand, power, _ := strings.Cut(shortest, "e")
	exponent, _ := strconv.Atoi(power) // FormatFloat wrote it
	if point := exponent + 1; number != 0 && (point < d.low || point > d.high) {
		out = append(out, significand...)
		if d.mantissa && len(significand) == 1 {
			out = append(out, ".0"...)
		}
		letter, plus := d.exponent[:1], d.exponent[1:]
		out = append(out, letter...)
		if exponent < 0 {
			plus, exponent = "-", -exponent
		}
		out = append(out, plus...)
		if d.wide && exponent < 10 {
			out = append(out, '0')
		}
		return strconv.AppendInt(out, int64(exponent), 10)
	}
	out = strconv.AppendFloat(out, number, 'f', -1, 64)
	if d.fraction && number == math.Trunc(number) {
		out = append(out, ".0"...)
	}
	return out
}

// isFloat reports whether a number is written as a float.
func isFloat(text []byte) bool { return bytes.ContainsAny(text, ".eE") }

// plainDecimal writes a number without an exponent, and with its zeros, as
// PostgreSQL's numeric does.
func plainDecimal(out []byte, _ place, text []byte) []byte {
	mantissa, power, _ := strings.Cut(strings.ToLower(string(text)), "e")
	exponent, _ := strconv.Atoi(power) // none is 0
	if exponent < -1000 || exponent > 1000 {
		return append(out, text...)
	}
	mantissa, minus := strings.CutPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	point := len(whole) + exponent
	all := whole + fraction
	if point <= 0 {
		all, point = strings.Repeat("0", 1-point)+all, 1
	}
	if point > len(all) {
		all += strings.Repeat("0", point-len(all))
	}
	whole, fraction = strings.TrimLeft(all[:point], "0"), all[point:]
	if minus && strings.Trim(all, "0") != "" {
		out = append(out, '-')
	}
	if whole == "" {
		whole = "0"
	}
	out = append(out, whole...)
	if fraction != "" {
		out = append(append(out, '.'), fraction...)
	}
	return out
}
