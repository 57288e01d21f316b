package configs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFileSize bounds configuration files and files with secrets: a path to
// something else by mistake, such as a device, is not read for ever.
const maxFileSize = 1 << 20

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFileSize {
		return nil, fmt.Errorf("%s is longer than %s", path, formatNumber(maxFileSize, true))
	}
	return data, nil
}

// document walks the nodes of a YAML file, which know their lines.
type document struct {
	path     string
	found    layer
	names    []string // databases, also those without any key
	problems *complaints
}

// parseFile reads every setting of a configuration file and complains about
// all that is none.
func parseFile(path string, data []byte, problems *complaints) *document {
	doc := &document{path: path, found: layer{}, problems: problems}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var root yaml.Node
	if err := decoder.Decode(&root); err != nil {
		if !errors.Is(err, io.EOF) {
			doc.syntax(err)
		}
		return doc
	}
	for _, content := range root.Content {
		doc.section(content, "")
	}
	var second yaml.Node
	switch err := decoder.Decode(&second); {
	case err == nil:
		doc.complain(&second, "", "a second document begins here; a configuration file has one")
	case !errors.Is(err, io.EOF):
		doc.syntax(err)
	}
	return doc
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?((?s).*)$`)

func (doc *document) syntax(err error) {
	m := yamlLine.FindStringSubmatch(err.Error())
	where := doc.path
	if m[1] != "" {
		where += ":" + m[1]
	}
	text := m[2]
	if strings.Contains(text, "unknown anchor") {
		// The library names it, and it may be the beginning of a password.
		text = "unknown anchor (a value that begins with * needs quotes)"
	}
	doc.problems.add(where, "", "not YAML: "+text)
}

func (doc *document) where(n *yaml.Node) string { return fmt.Sprintf("%s:%d", doc.path, n.Line) }

func (doc *document) complain(n *yaml.Node, key, problem string) {
	doc.problems.add(doc.where(n), key, problem)
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// section walks a mapping. Its depth is bounded by that of the settings, so
// that an anchor inside of itself ends too.
func (doc *document) section(n *yaml.Node, prefix string) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		doc.complain(n, strings.TrimSuffix(prefix, "."), "want keys with values")
		return
	}
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		key := prefix + printable(name.Value)
		if first, again := lines[key]; again {
			doc.complain(name, key, fmt.Sprintf("given before, in line %d", first))
			continue
		}
		lines[key] = name.Line
		doc.entry(name, value, key)
	}
}

func (doc *document) entry(name, value *yaml.Node, key string) {
	if name.Kind != yaml.ScalarNode || strings.Contains(name.Value, ".") {
		doc.complain(name, key, "unknown key")
		return
	}
	if isSection(key) {
		if database, ok := strings.CutPrefix(key, "databases."); ok {
			if !databaseName.MatchString(database) {
				doc.complain(name, key, "a database's name has lower-case letters, digits and _, begins with a letter, and has 32 characters at most")
				return
			}
			doc.names = append(doc.names, database)
		}
		doc.section(value, key+".")
		return
	}
	s, ok := Lookup(key)
	if !ok {
		doc.complain(name, key, "unknown key"+didYouMean(closest(key, keysLike(key))))
		return
	}
	doc.value(s, value)
}

// keysLike returns the names that could have stood in a key's place.
func keysLike(key string) []string {
	var names []string
	for _, s := range settings {
		name := s.Key
		if parts := strings.Split(key, "."); len(parts) == 3 {
			name = strings.Replace(name, anyDatabase, parts[1], 1)
		}
		names = append(names, name)
		if section, _, ok := strings.Cut(name, "."); ok && !slices.Contains(names, section) {
			names = append(names, section)
		}
	}
	return names
}

func (doc *document) value(s Setting, n *yaml.Node) {
	where := doc.where(n)
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch {
	case isNull(n):
	case n.Kind == yaml.ScalarNode:
		doc.found.take(s, n.Value, where, doc.problems)
	case n.Kind == yaml.SequenceNode && s.isList():
		var list []string // nil when empty, as the default is
		for _, item := range n.Content {
			if item.Kind != yaml.ScalarNode || isNull(item) {
				doc.complain(item, s.Key, "want a list of texts")
				return
			}
			list = append(list, item.Value)
		}
		doc.found[s.Key] = given{value: list, where: where}
	case s.isList():
		doc.problems.add(where, s.Key, "want a list of texts")
	default:
		doc.problems.add(where, s.Key, "want one value")
	}
}
