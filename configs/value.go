package configs

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

var errDuration = errors.New("want a duration such as 30s, 5m, 12h or 90d")

// ParseDuration reads a duration as time.ParseDuration does, and also days:
// 90d, 1d12h. A day has 24 hours.
func ParseDuration(text string) (time.Duration, error) {
	days, rest, hasDays := strings.Cut(text, "d")
	if !hasDays {
		d, err := time.ParseDuration(text)
		if err != nil {
			return 0, errDuration
		}
		return d, nil
	}
	n, err := strconv.ParseUint(days, 10, 32)
	if err != nil || n >= uint64(math.MaxInt64/day) {
		return 0, errDuration
	}
	d := time.Duration(n) * day
	if rest == "" {
		return d, nil
	}
	part, err := time.ParseDuration(rest)
	if err != nil || part < 0 || part >= day {
		return 0, errDuration
	}
	return d + part, nil
}

func formatDuration(d time.Duration) string {
	if d >= day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func parseBool(text string) (bool, error) {
	b, err := strconv.ParseBool(text)
	if err != nil {
		return false, errors.New("want true or false")
	}
	return b, nil
}

func formatBool(b bool) string { return strconv.FormatBool(b) }

// parseList reads comma separated values; spaces around them and empty ones
// are dropped.
func parseList(text string) []string {
	var list []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list
}

// parseInt keeps to 32 bits, which are enough for every setting and the same
// on every machine.
func parseInt(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 0, errors.New("want a whole number")
	}
	return n, nil
}

var sizeUnits = []struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

func parseSize(text string) (int64, error) {
	unit := int64(1)
	digits := text
	for _, u := range sizeUnits {
		if number, ok := strings.CutSuffix(text, u.name); ok {
			digits, unit = strings.TrimSpace(number), u.bytes
		}
	}
	n, err := strconv.ParseInt(digits, 10, 31)
	if err != nil {
		return 0, errors.New("want a number of bytes, such as 65536, 64KiB or 1MiB")
	}
	return n * unit, nil
}

func formatNumber(n int64, isSize bool) string {
	if isSize && n != 0 {
		for _, u := range sizeUnits {
			if n%u.bytes == 0 {
				return strconv.FormatInt(n/u.bytes, 10) + u.name
			}
		}
	}
	return strconv.FormatInt(n, 10)
}

// parseRate reads 120/1m; the number of the unit may be left out: 120/m.
func parseRate(text string) (Rate, error) {
	wrong := errors.New("want requests per time, such as 120/1m")
	count, span, ok := strings.Cut(text, "/")
	if !ok {
		return Rate{}, wrong
	}
	requests, err := parseInt(strings.TrimSpace(count))
	if err != nil {
		return Rate{}, wrong
	}
	span = strings.TrimSpace(span)
	if span != "" && (span[0] < '0' || span[0] > '9') {
		span = "1" + span
	}
	per, err := ParseDuration(span)
	if err != nil {
		return Rate{}, wrong
	}
	return Rate{Requests: int(requests), Per: per}, nil
}

// String writes the rate as it stands in the configuration file.
func (r Rate) String() string {
	return fmt.Sprintf("%d/%s", r.Requests, formatDuration(r.Per))
}
