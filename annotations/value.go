package annotations

import (
	"fmt"
	"go/token"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Longest names that every engine takes.
const (
	maxName  = 128
	maxQueue = 64
)

// checkValue returns the fault of a value, and its mend. Both are empty for a
// good value.
func checkValue(k *Key, v string) (msg, hint string) {
	if v == "" {
		return "the value is empty", "write " + k.Name + "=" + string(k.Kind)
	}
	switch k.Kind {
	case KindName:
		return checkName(k, v)
	case KindIdent:
		return checkIdent(v), ""
	case KindParam:
		if msg = checkIdent(v); msg != "" {
			hint = "name one parameter: to go by several values make it a struct of them"
		}
		return msg, hint
	case KindIdents:
		return checkIdents(v)
	case KindDuration, KindPeriod:
		return checkDuration(k, v)
	case KindHold:
		return checkHold(k, v)
	case KindCount, KindPriority:
		return checkNumber(k, v)
	case KindFactor:
		f, err := strconv.ParseFloat(v, 64)
		if err != nil || math.IsNaN(f) || f < 1 || f > 1e6 {
			return fmt.Sprintf("%q is no factor", v), "a factor is a number from 1 to 1000000, such as 1.5"
		}
	case KindTag:
		return checkTag(v)
	case KindRename:
		return checkRename(v)
	case KindLimit:
		return checkLimit(v)
	case KindLimitBy:
		return checkLimitBy(k, v)
	case KindPackage:
		return checkPackage(v)
	case KindFuncs:
		return checkFuncs(v)
	case KindRate:
		_, _, msg, hint = parseRate(v)
		return msg, hint
	case KindRateBy:
		return checkRateBy(k, v)
	}
	return "", ""
}

func checkName(k *Key, v string) (msg, hint string) {
	limit := maxName
	if k.Name == "queue" {
		limit = maxQueue
	}
	if len(v) > limit {
		return fmt.Sprintf("the name is %d bytes long, and may be %d", len(v), limit), ""
	}
	bad := func(r rune) bool {
		return r == utf8.RuneError || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._-/:", r)
	}
	if i := strings.IndexFunc(v, bad); i >= 0 {
		r, _ := utf8.DecodeRuneInString(v[i:])
		return fmt.Sprintf("%q may not be in a name", r), "a name has letters, digits and the signs . _ - / :"
	}
	return "", ""
}

// maxKey is the longest key of an argument.
const maxKey = 128

func checkRename(v string) (msg, hint string) {
	param, key, ok := strings.Cut(v, ":")
	if !ok || key == "" {
		return fmt.Sprintf("%q does not name a parameter and its key", v), "write key=userID:user_id"
	}
	if msg := checkIdent(param); msg != "" {
		return msg, "write key=userID:user_id"
	}
	if len(key) > maxKey {
		return fmt.Sprintf("the key is %d bytes long, and may be %d", len(key), maxKey), ""
	}
	if !IsKey(key) {
		return fmt.Sprintf("%q is no key of an argument", key), "a key has letters, digits and the signs . _ -"
	}
	return "", ""
}

// IsKey reports whether an argument may have the key.
func IsKey(key string) bool {
	return key != "" && !strings.ContainsFunc(key, func(r rune) bool {
		return r == utf8.RuneError || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._-", r)
	})
}

func checkIdent(v string) string {
	if !token.IsIdentifier(v) || v == "_" {
		return fmt.Sprintf("%q is no Go identifier", v)
	}
	return ""
}

func checkIdents(v string) (msg, hint string) {
	names := strings.Split(v, ",")
	for i, n := range names {
		if n == "" {
			return "a name is missing beside a comma", "write the names with one comma between and no spaces"
		}
		if msg := checkIdent(n); msg != "" {
			return msg, "write parameter names with commas between and no spaces"
		}
		if slices.Contains(names[:i], n) {
			return fmt.Sprintf("%s is there twice", n), ""
		}
	}
	return "", ""
}

func checkPackage(v string) (msg, hint string) {
	bad := func(r rune) bool {
		return r == utf8.RuneError || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._-~+/", r)
	}
	relative := v == ".." || strings.HasPrefix(v, "../") || strings.HasPrefix(v, "./")
	if clean := strings.TrimPrefix(v, "./"); strings.ContainsFunc(v, bad) || path.IsAbs(v) || path.Clean(v) != clean ||
		!relative && clean == "." {
		return fmt.Sprintf("%q is no package", v), "write an import path, or a directory that begins with ./ or ../"
	}
	return "", ""
}

func checkFuncs(v string) (msg, hint string) {
	names := strings.Split(v, ",")
	for i, n := range names {
		typ, method, ok := strings.Cut(n, ".")
		if checkIdent(typ) != "" || ok && checkIdent(method) != "" {
			return fmt.Sprintf("%q is no function", n), "write names with commas between and no spaces, a method with its type: Shop.Order"
		}
		if slices.Contains(names[:i], n) {
			return fmt.Sprintf("%s is there twice", n), ""
		}
	}
	return "", ""
}

func checkDuration(k *Key, v string) (msg, hint string) {
	d, err := time.ParseDuration(v)
	if err != nil {
		if _, err := strconv.ParseFloat(v, 64); err == nil {
			return fmt.Sprintf("%q lacks a unit", v), fmt.Sprintf("write %s=%ss for seconds, %[1]s=%[2]sm for minutes", k.Name, v)
		}
		return fmt.Sprintf("%q is no duration", v), "a duration is written like 500ms, 2s, 1m30s or 24h"
	}
	if d < 0 {
		return fmt.Sprintf("%q is negative", v), ""
	}
	if d == 0 && k.Kind != KindDuration {
		return "the time must be over zero", ""
	}
	return "", ""
}

func checkHold(k *Key, v string) (msg, hint string) {
	if v == HoldActive || v == HoldWaiting {
		return "", ""
	}
	if near := Nearest(v, []string{HoldActive, HoldWaiting}); near != "" {
		return fmt.Sprintf("%q is no way to hold a key", v), "did you mean " + near + "?"
	}
	if msg, hint = checkDuration(k, v); msg != "" && !strings.ContainsFunc(v, unicode.IsDigit) {
		return fmt.Sprintf("%q is no way to hold a key", v), "write a period such as 24h, active, or waiting"
	}
	return msg, hint
}

func checkNumber(k *Key, v string) (msg, hint string) {
	n, err := strconv.Atoi(v)
	top := math.MaxInt32
	if k.Kind == KindPriority {
		top = 3
	}
	if err != nil || n < 0 || n > top {
		return fmt.Sprintf("%q is no number from 0 to %d", v, top), ""
	}
	return "", ""
}

func checkLimit(v string) (msg, hint string) {
	if n, err := strconv.Atoi(v); err != nil || n < 1 || n > math.MaxInt32 {
		return fmt.Sprintf("%q is no number from 1 to %d", v, math.MaxInt32), ""
	}
	return "", ""
}

func checkLimitBy(k *Key, v string) (msg, hint string) {
	param, n, ok := strings.Cut(v, ":")
	if !ok {
		return fmt.Sprintf("%q lacks a number", v), fmt.Sprintf("write %s=%s:2 for two at a time", k.Name, v)
	}
	if msg := checkIdent(param); msg != "" {
		hint = "write " + k.Name + "=" + string(k.Kind)
		if strings.Contains(param, ".") {
			hint += ", and make the field a parameter of its own"
		}
		return msg, hint
	}
	return checkLimit(n)
}

// parseRate reads a value of [KindRate], or returns its fault and the mend.
func parseRate(v string) (n int, per time.Duration, msg, hint string) {
	count, period, ok := strings.Cut(v, "/")
	if !ok {
		return 0, 0, fmt.Sprintf("%q lacks a time", v), "write 100/m for 100 in each minute, 5/10s for 5 in ten seconds"
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 || n > MaxRate {
		return 0, 0, fmt.Sprintf("%q is no number from 1 to %d", count, MaxRate), ""
	}
	per, err = time.ParseDuration(period)
	if err != nil {
		per, err = time.ParseDuration("1" + period) // a unit alone
	}
	switch {
	case err != nil:
		return 0, 0, fmt.Sprintf("%q is no time", period), "a time is s, m, h, or written like 500ms, 10s or 1m30s"
	case per <= 0 || per > maxPer:
		return 0, 0, fmt.Sprintf("the time must be over zero, and at most %v", maxPer), ""
	}
	return n, per, "", ""
}

// maxPer is the longest time of a rate.
const maxPer = 366 * 24 * time.Hour

func checkRateBy(k *Key, v string) (msg, hint string) {
	param, rate, ok := strings.Cut(v, ":")
	if !ok {
		return fmt.Sprintf("%q lacks a rate", v), fmt.Sprintf("write %s=PARAM:100/m for 100 in each minute", k.Name)
	}
	if msg := checkIdent(param); msg != "" {
		return msg, "write " + k.Name + "=" + string(k.Kind)
	}
	_, _, msg, hint = parseRate(rate)
	return msg, hint
}

func checkTag(v string) (msg, hint string) {
	key, _, ok := strings.Cut(v, ":")
	if !ok || key == "" {
		return fmt.Sprintf("%q is no tag", v), "write tag=key:value"
	}
	if !utf8.ValidString(v) || strings.ContainsFunc(v, unicode.IsControl) {
		return "a tag may not hold control characters", ""
	}
	return "", ""
}
