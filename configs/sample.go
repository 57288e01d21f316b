package configs

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

const sampleHead = `# The configuration of socialctl, with every key, its default and its meaning.
# What is left out has its default; nothing here has to be set to begin.
#
# A command-line flag goes before an environment variable, which goes before
# this file. Every key has a variable: http.addr is SOCIALCTL_HTTP_ADDR; lists
# are separated by commas, and an empty variable counts as not set.
# Durations are written 30s, 5m, 12h or 90d, sizes 65536, 64KiB or 1MiB.
`

// Sample returns a configuration file with every key, its default and its
// meaning, which loads as it is.
func Sample() []byte {
	var b bytes.Buffer
	b.WriteString(sampleHead)
	writeSample(&b, reflect.TypeFor[Config](), "", "")
	return b.Bytes()
}

func writeSample(b *bytes.Buffer, t reflect.Type, prefix, indent string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("mapstructure")
		s := declare(prefix+name, f)
		if indent == "" {
			b.WriteByte('\n')
		}
		fmt.Fprintf(b, "%s# %s\n", indent, s.Doc)
		switch {
		case f.Type.Kind() == reflect.Map:
			writeDatabases(b, f.Type.Elem(), name)
		case f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[Rate]():
			fmt.Fprintf(b, "%s%s:\n", indent, name)
			writeSample(b, f.Type, prefix+name+".", indent+"  ")
		default:
			fmt.Fprintf(b, "%s%s: %s\n", indent, name, s.yamlDefault())
		}
	}
}

// writeDatabases writes the keys of one database as a comment: a database
// without an address would be none.
func writeDatabases(b *bytes.Buffer, database reflect.Type, name string) {
	var example bytes.Buffer
	example.WriteString("a:\n")
	writeSample(&example, database, name+".a.", "  ")
	fmt.Fprintf(b, "%s:\n", name)
	for line := range strings.Lines(example.String()) {
		b.WriteString("  # " + line)
	}
}

func (s Setting) isList() bool { return s.typ == reflect.TypeFor[[]string]() }

// yamlDefault writes the default so that YAML reads it back as the same text.
func (s Setting) yamlDefault() string {
	if s.isList() && s.Default == "" {
		return "[]"
	}
	if s.isList() {
		return "[" + s.Default + "]"
	}
	if s.typ.Kind() != reflect.String {
		return s.Default
	}
	text, err := yaml.Marshal(s.Default)
	if err != nil {
		return `""`
	}
	return strings.TrimSpace(string(text))
}
