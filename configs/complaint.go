package configs

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Complaint is one thing that is wrong with a configuration.
type Complaint struct {
	Where   string `json:"where"`   // path:line, env NAME, flag --name, or empty
	Key     string `json:"key"`     // dotted, or empty when it concerns none
	Problem string `json:"problem"` // what is wrong and what is wanted; never a secret
}

// ConfigError is everything that is wrong with a configuration.
type ConfigError struct {
	Complaints []Complaint
}

// Error writes one complaint a line.
func (e *ConfigError) Error() string {
	var lines []string
	for _, c := range e.Complaints {
		var parts []string
		for _, part := range []string{c.Where, c.Key, c.Problem} {
			if part != "" {
				parts = append(parts, part)
			}
		}
		lines = append(lines, strings.Join(parts, ": "))
	}
	if len(lines) == 1 {
		return lines[0]
	}
	return fmt.Sprintf("the configuration has %d problems\n  %s", len(lines), strings.Join(lines, "\n  "))
}

// complaints gathers what is wrong.
type complaints struct {
	list []Complaint
}

func (p *complaints) add(where, key, problem string) {
	p.list = append(p.list, Complaint{Where: where, Key: key, Problem: problem})
}

// addValidation adds what is wrong with the values, save for keys about which
// there is a complaint already: those hold a default in its place.
func (p *complaints) addValidation(l Loaded) {
	seen := map[string]bool{}
	for _, c := range p.list {
		seen[c.Key] = true
	}
	for _, c := range l.Config.complaints() {
		if seen[c.Key] {
			continue
		}
		if origin := l.Origin[c.Key]; origin != originDefault {
			c.Where = origin
		}
		p.list = append(p.list, c)
	}
}

// err returns nil or a *ConfigError, complaints about the file first and by
// line.
func (p *complaints) err() error {
	if len(p.list) == 0 {
		return nil
	}
	slices.SortStableFunc(p.list, func(a, b Complaint) int { return cmp.Compare(lineOf(a), lineOf(b)) })
	return &ConfigError{Complaints: p.list}
}

var lineEnd = regexp.MustCompile(`:(\d+)$`)

func lineOf(c Complaint) int {
	if m := lineEnd.FindStringSubmatch(c.Where); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			return n
		}
	}
	return int(^uint(0) >> 1)
}
