package configs

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Setting describes one key: what Config's tags say about it.
type Setting struct {
	Key     string // dotted, such as http.addr; a database's are databases.*.dsn
	Env     string // name of its environment variable
	Flag    string // name of its command-line flag without dashes, or empty
	Default string // as it would be written in the file
	Doc     string // what it means, one sentence
	Bool    bool   // whether it is true or false

	tag reflect.StructTag
	typ reflect.Type
}

// field is a setting together with the place in one Config that holds it.
type field struct {
	Setting
	value reflect.Value
}

func (f field) set(v any) { f.value.Set(reflect.ValueOf(v)) }

// anyDatabase stands for a database's name in the keys of settings.
const anyDatabase = "*"

// settings lists every key in the order of its declaration.
var settings = declared()

func declared() []Setting {
	var all []Setting
	c := Config{Databases: map[string]Database{anyDatabase: {}}}
	c.visit(func(f field) { all = append(all, f.Setting) })
	return all
}

// Settings returns every setting in the order of its declaration.
func Settings() []Setting { return slices.Clone(settings) }

// Lookup returns the setting of a dotted key, such as http.addr or
// databases.a.dsn.
func Lookup(key string) (Setting, bool) {
	pattern := key
	name, isDatabase := "", false
	if parts := strings.Split(key, "."); len(parts) == 3 && parts[0] == "databases" {
		name, isDatabase = parts[1], true
		pattern = strings.Join([]string{parts[0], anyDatabase, parts[2]}, ".")
	}
	for _, s := range settings {
		if s.Key == pattern {
			s.Key = key
			if isDatabase && name != anyDatabase {
				s.Env = envName(key)
			}
			return s, true
		}
	}
	return Setting{}, false
}

// isSection reports whether a dotted name holds keys instead of a value.
func isSection(name string) bool {
	if parent, database, ok := strings.Cut(name, "."); ok && parent == "databases" {
		return !strings.Contains(database, ".")
	}
	for _, s := range settings {
		if strings.HasPrefix(s.Key, name+".") {
			return true
		}
	}
	return false
}

// visit calls fn for every setting of c, databases by name.
func (c *Config) visit(fn func(field)) {
	visitStruct(reflect.ValueOf(c).Elem(), "", fn)
}

func visitStruct(v reflect.Value, prefix string, fn func(field)) {
	for i := range v.NumField() {
		declaration, value := v.Type().Field(i), v.Field(i)
		key := prefix + declaration.Tag.Get("mapstructure")
		switch {
		case value.Kind() == reflect.Map:
			visitDatabases(value.Interface().(map[string]Database), key+".", fn)
		case value.Kind() == reflect.Struct && value.Type() != reflect.TypeFor[Rate]():
			visitStruct(value, key+".", fn)
		default:
			fn(field{Setting: declare(key, declaration), value: value})
		}
	}
}

// visitDatabases puts an entry back that its visit has changed, since values in
// a map cannot be changed in place. An unchanged one is left alone: a Config is
// shown by many goroutines at once.
func visitDatabases(databases map[string]Database, prefix string, fn func(field)) {
	for _, name := range slices.Sorted(maps.Keys(databases)) {
		d := databases[name]
		visitStruct(reflect.ValueOf(&d).Elem(), prefix+name+".", fn)
		if d != databases[name] {
			databases[name] = d
		}
	}
}

func declare(key string, f reflect.StructField) Setting {
	return Setting{
		Key:     key,
		Env:     envName(key),
		Flag:    f.Tag.Get("flag"),
		Default: f.Tag.Get("default"),
		Doc:     f.Tag.Get("doc"),
		Bool:    f.Type.Kind() == reflect.Bool,
		tag:     f.Tag,
		typ:     f.Type,
	}
}

// envPrefix begins the name of every environment variable.
const envPrefix = "SOCIALCTL_"

func envName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// parse turns the text of a value into the type of the setting.
func (s Setting) parse(text string) (any, error) {
	switch s.typ {
	case reflect.TypeFor[string]():
		return text, nil
	case reflect.TypeFor[bool]():
		return parseBool(text)
	case reflect.TypeFor[[]string]():
		return parseList(text), nil
	case reflect.TypeFor[time.Duration]():
		return ParseDuration(text)
	case reflect.TypeFor[Rate]():
		return parseRate(text)
	}
	n, err := s.parseNumber(text)
	if s.typ == reflect.TypeFor[int]() {
		return int(n), err
	}
	return n, err
}

func (s Setting) parseNumber(text string) (int64, error) {
	if s.tag.Get("unit") == "bytes" {
		return parseSize(text)
	}
	return parseInt(text)
}

// format writes a value as it would be written in the file; unmasked.
func (s Setting) format(v any) string {
	switch v := v.(type) {
	case []string:
		return strings.Join(v, ",")
	case time.Duration:
		return formatDuration(v)
	case Rate:
		return v.String()
	case int, int64:
		return formatNumber(reflect.ValueOf(v).Int(), s.tag.Get("unit") == "bytes")
	case bool:
		return formatBool(v)
	case string:
		return v
	}
	return ""
}

// shown writes a value with its secrets masked.
func (s Setting) shown(v any) string {
	text := s.format(v)
	switch s.tag.Get("secret") {
	case "dsn":
		return maskDSN(text)
	case "url":
		return maskURL(text)
	case "text":
		return mask(text)
	}
	return text
}

// closest returns the name that a misspelt one was most likely meant to be,
// or "" when none is near.
func closest(misspelt string, names []string) string {
	best, least := "", 3
	for _, name := range names {
		if d := editDistance(misspelt, name); d < least {
			best, least = name, d
		}
	}
	return best
}

// editDistance is Levenshtein's. Texts of very different length are far apart
// anyway, and are not compared, which bounds the work.
func editDistance(a, b string) int {
	if len(a) > len(b)+3 || len(b) > len(a)+3 {
		return len(a) + len(b)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
