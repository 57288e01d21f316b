package configs

import (
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

var (
	databaseName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)
	// schemaName leaves room for what is appended to it within MySQL's 64
	// characters.
	schemaName   = regexp.MustCompile(`^[a-z][a-z0-9_]{0,47}_meta$`)
	bucketScheme = regexp.MustCompile(`^[a-z][a-z0-9+.-]*://`)
	tableName    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,99})?$`)
)

// checks holds what the check tags name; each returns what was wanted, or "".
var checks = map[string]func(string) string{
	"given": func(s string) string { return unless(s != "", "must not be empty") },
	"listen": func(s string) string {
		return unless(isAddress(s, true), "want HOST:PORT, such as 127.0.0.1:8080 or :8080")
	},
	"optional-listen": func(s string) string {
		return unless(isAddress(s, true), "want HOST:PORT, such as 127.0.0.1:8081, or nothing")
	},
	"server":  func(s string) string { return unless(isAddress(s, false), "want HOST:PORT, such as 127.0.0.1:6379") },
	"origin":  func(s string) string { return unless(isOrigin(s), "want an origin, such as https://app.example, or *") },
	"network": func(s string) string { return unless(isNetwork(s), "want an address or a network, such as 10.0.0.0/8") },
	"schema": func(s string) string {
		return unless(schemaName.MatchString(s), "want lower-case letters, digits and _, ending in _meta, such as social_meta")
	},
	"archive": func(s string) string { return unless(isArchive(s), "want hbase://HOST:PORT[,HOST:PORT]/TABLE") },
	"bucket": func(s string) string {
		return unless(isBucket(s), "want a bucket's URL, such as file:///var/lib/socialctl/media")
	},
	"dsn": checkDSN,
}

func unless(ok bool, want string) string {
	if ok {
		return ""
	}
	return want
}

// isAddress reports whether text is host:port. A listener may leave the host
// out, for all interfaces, and have port 0, for a free one.
func isAddress(text string, listens bool) bool {
	colon := strings.LastIndexByte(text, ':')
	if colon < 0 {
		return false
	}
	host, port := text[:colon], text[colon+1:]
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || (n == 0 && !listens) {
		return false
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		_, err := netip.ParseAddr(inner)
		return ok && err == nil
	}
	if host == "" {
		return listens
	}
	return !strings.ContainsFunc(host, func(r rune) bool { return !hostRune(r) })
}

func hostRune(r rune) bool {
	return r == '-' || r == '.' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r)
}

func isOrigin(text string) bool {
	u, err := url.Parse(text)
	return text == "*" || (err == nil && u.Scheme != "" && u.Host != "" && u.Scheme+"://"+u.Host == text)
}

func isNetwork(text string) bool {
	_, err := netip.ParsePrefix(text)
	if err != nil {
		_, err = netip.ParseAddr(text)
	}
	return err == nil
}

func isArchive(text string) bool {
	rest, ok := strings.CutPrefix(text, "hbase://")
	hosts, table, hasTable := strings.Cut(rest, "/")
	if !ok || !hasTable || !tableName.MatchString(table) {
		return false
	}
	for host := range strings.SplitSeq(hosts, ",") {
		if !isAddress(host, false) {
			return false
		}
	}
	return true
}

func isBucket(text string) bool {
	_, err := url.Parse(text)
	return err == nil && bucketScheme.MatchString(text)
}

// checkDSN never quotes: a password with a mistake in it must not be shown.
func checkDSN(text string) string {
	d, ok := splitDSN(text)
	switch {
	case !ok:
		return "want user:password@tcp(host:port)/"
	case d.schema != "":
		return "must not name a schema after the slash: each shard has its own"
	case d.network == "tcp" && d.hasAddress && !isAddress(d.address, false):
		return "want HOST:PORT in tcp(…), such as tcp(127.0.0.1:3306)"
	case d.network == "unix" && d.address == "":
		return "want the path of a socket in unix(…)"
	}
	return ""
}

// quote shows a value that is wrong, without what may be a password in it.
func quote(text string) string {
	if strings.Contains(text, "@") {
		text = masked
	}
	if len(text) > 100 {
		text = text[:100] + "…"
	}
	return strconv.Quote(text)
}

// printable makes a key of the file safe to print on a terminal.
func printable(text string) string {
	quoted := strconv.Quote(text)
	if len(text) > 100 || quoted[1:len(quoted)-1] != text {
		return quote(text)
	}
	return text
}
