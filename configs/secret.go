package configs

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
)

// masked stands where a secret would; net/url masks passwords the same way.
const masked = "xxxxx"

func mask(text string) string {
	if text == "" {
		return ""
	}
	return masked
}

// dsn is a MySQL data source name taken apart. The driver belongs to another
// package, and its errors may quote parts of a password.
type dsn struct {
	user, password          string
	hasUser, hasPassword    bool
	network, address        string
	schema, parameters      string
	hasAddress, hasQuestion bool
}

// splitDSN follows the driver: the last slash begins the schema, and the last
// @ before it ends the password, so that both may occur in a password.
func splitDSN(text string) (dsn, bool) {
	var d dsn
	// A question mark may stand in a password too; only one after the last
	// slash begins the parameters.
	slash := strings.LastIndexByte(text, '/')
	if slash < 0 {
		return d, false
	}
	server, tail := text[:slash], text[slash+1:]
	d.schema, d.parameters, d.hasQuestion = strings.Cut(tail, "?")
	if at := strings.LastIndexByte(server, '@'); at >= 0 {
		d.hasUser = true
		d.user, d.password, d.hasPassword = strings.Cut(server[:at], ":")
		server = server[at+1:]
	}
	d.network, d.address, d.hasAddress = strings.Cut(server, "(")
	if d.hasAddress {
		address, ok := strings.CutSuffix(d.address, ")")
		if !ok {
			return d, false
		}
		d.address = address
	}
	return d, d.network == "tcp" || d.network == "unix"
}

// maskDSN hides the password and keeps user, host and parameters. What cannot
// be taken apart is hidden as a whole.
func maskDSN(text string) string {
	if text == "" {
		return ""
	}
	d, ok := splitDSN(text)
	if !ok {
		return masked
	}
	var b strings.Builder
	if d.hasUser {
		b.WriteString(d.user)
		if d.hasPassword {
			b.WriteString(":" + mask(d.password))
		}
		b.WriteByte('@')
	}
	b.WriteString(d.network)
	if d.hasAddress {
		b.WriteString("(" + d.address + ")")
	}
	b.WriteString("/" + d.schema)
	if d.hasQuestion {
		b.WriteString("?" + d.parameters)
	}
	return b.String()
}

// maskURL hides a password before the host and every parameter that is named
// like a secret.
func maskURL(text string) string {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return mask(text)
	}
	rest, query, hasQuery := strings.Cut(rest, "?")
	authority, path, hasPath := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		user, _, _ := strings.Cut(authority[:at], ":")
		authority = user + ":" + masked + authority[at:]
	} else if strings.Contains(path, "@") && strings.Contains(authority, ":") {
		return masked // a password with a slash in it looks like this
	}
	rest = authority
	if hasPath {
		rest += "/" + path
	}
	if !hasQuery {
		return scheme + "://" + rest
	}
	parameters := strings.Split(query, "&")
	for i, p := range parameters {
		if name, _, ok := strings.Cut(p, "="); ok && namesSecret(name) {
			parameters[i] = name + "=" + masked
		}
	}
	return scheme + "://" + rest + "?" + strings.Join(parameters, "&")
}

func namesSecret(name string) bool {
	if plain, err := url.QueryUnescape(name); err == nil {
		name = plain
	}
	name = strings.ToLower(name)
	for _, word := range []string{"secret", "password", "token", "key", "sig", "credential"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// The types below hold secrets. They have plain strings for the packages that
// open things with them, so each way of showing one masks it.

func (d Database) safe() map[string]any {
	return map[string]any{"dsn": maskDSN(d.DSN), "dsn_file": d.DSNFile, "max_conns": d.MaxConns}
}

// String writes the database with its password masked.
func (d Database) String() string { return fmt.Sprint(d.safe()) }

// GoString writes what String does.
func (d Database) GoString() string { return d.String() }

// LogValue returns the database with its password masked.
func (d Database) LogValue() slog.Value { return slog.AnyValue(d.safe()) }

// MarshalJSON encodes the database with its password masked.
func (d Database) MarshalJSON() ([]byte, error) { return json.Marshal(d.safe()) }

func (r Redis) safe() map[string]any {
	return map[string]any{"addrs": r.Addrs, "password": mask(r.Password), "password_file": r.PasswordFile, "db": r.DB}
}

// String writes the settings with the password masked.
func (r Redis) String() string { return fmt.Sprint(r.safe()) }

// GoString writes what String does.
func (r Redis) GoString() string { return r.String() }

// LogValue returns the settings with the password masked.
func (r Redis) LogValue() slog.Value { return slog.AnyValue(r.safe()) }

// MarshalJSON encodes the settings with the password masked.
func (r Redis) MarshalJSON() ([]byte, error) { return json.Marshal(r.safe()) }

// String writes the URL with its secrets masked.
func (a Archive) String() string { return maskURL(a.URL) }

// GoString writes what String does.
func (a Archive) GoString() string { return a.String() }

// LogValue returns the URL with its secrets masked.
func (a Archive) LogValue() slog.Value { return slog.StringValue(a.String()) }

// MarshalJSON encodes the URL with its secrets masked.
func (a Archive) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"url": a.String()})
}

// String writes the URL with its secrets masked.
func (m Media) String() string { return maskURL(m.URL) }

// GoString writes what String does.
func (m Media) GoString() string { return m.String() }

// LogValue returns the URL with its secrets masked.
func (m Media) LogValue() slog.Value { return slog.StringValue(m.String()) }

// MarshalJSON encodes the URL with its secrets masked.
func (m Media) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"url": m.String()})
}

// safe returns every setting by its key, in text, with secrets masked.
func (c Config) safe() map[string]string {
	all := map[string]string{}
	c.visit(func(f field) { all[f.Key] = f.shown(f.value.Interface()) })
	return all
}

// String writes every setting by its key, with secrets masked.
func (c Config) String() string { return fmt.Sprint(c.safe()) }

// GoString writes what String does.
func (c Config) GoString() string { return c.String() }

// LogValue returns every setting by its key, with secrets masked.
func (c Config) LogValue() slog.Value { return slog.AnyValue(c.safe()) }

// MarshalJSON encodes every setting by its key, with secrets masked.
func (c Config) MarshalJSON() ([]byte, error) { return json.Marshal(c.safe()) }
