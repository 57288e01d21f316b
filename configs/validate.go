package configs

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Validate returns nil or a *ConfigError with everything that is wrong.
func (c Config) Validate() error {
	if all := c.complaints(); len(all) > 0 {
		return &ConfigError{Complaints: all}
	}
	return nil
}

func (c Config) complaints() []Complaint {
	p := &complaints{}
	c.visit(func(f field) {
		if problem := f.problem(); problem != "" {
			p.add("", f.Key, problem)
		}
	})
	c.checkDatabases(p)
	if c.HTTP.MetricsAddr == c.HTTP.Addr && !strings.HasSuffix(c.HTTP.Addr, ":0") {
		p.add("", "http.metrics_addr", "is the same as http.addr")
	}
	if len(c.Redis.Addrs) > 1 && c.Redis.DB != 0 {
		p.add("", "redis.db", "Redis Cluster, with more than one of redis.addrs, has only database 0")
	}
	if c.Embedded.Shards > c.Embedded.Buckets {
		p.add("", "embedded.buckets", fmt.Sprintf("%d is less than embedded.shards, %d: a shard would have no bucket", c.Embedded.Buckets, c.Embedded.Shards))
	}
	return p.list
}

func (c Config) checkDatabases(p *complaints) {
	for _, name := range databasesIn(nil, c.databaseKeys()) {
		if !databaseName.MatchString(name) {
			p.add("", "databases."+name, "a database's name has lower-case letters, digits and _, and begins with a letter")
		}
		if c.Databases[name].DSN == "" {
			p.add("", "databases."+name+".dsn", "is missing")
		}
	}
	_, exists := c.Databases[c.Meta.Database]
	switch {
	case c.IsEmbedded() && c.Meta.Database != "":
		p.add("", "meta.database", quote(c.Meta.Database)+" is named, but there are no databases")
	case !c.IsEmbedded() && c.Meta.Database == "":
		p.add("", "meta.database", "is missing: name the one of databases that carries the meta schema")
	case !c.IsEmbedded() && !exists:
		p.add("", "meta.database", quote(c.Meta.Database)+" is none of databases")
	}
	if !c.IsEmbedded() && len(c.Redis.Addrs) == 0 {
		p.add("", "redis.addrs", "is missing: with databases, every process shares one Redis")
	}
}

func (c Config) databaseKeys() layer {
	keys := layer{}
	for name := range c.Databases {
		keys["databases."+name] = given{}
	}
	return keys
}

// problem checks one value against its declaration.
func (f field) problem() string {
	switch v := f.value.Interface().(type) {
	case string:
		return f.checkText(v)
	case []string:
		for _, item := range v {
			if problem := f.checkText(item); problem != "" {
				return problem
			}
		}
	case Rate:
		if v.Requests < 1 || v.Per <= 0 {
			return fmt.Sprintf("%s: want at least 1 request per a time above 0", v)
		}
	case int, int64, time.Duration:
		return f.checkRange(f.value.Int())
	}
	return ""
}

func (f field) checkRange(n int64) string {
	lowest, highest := f.bound("min"), f.bound("max")
	if n >= lowest && n <= highest {
		return ""
	}
	return fmt.Sprintf("%s: want %s to %s", f.format(f.value.Interface()), f.tag.Get("min"), f.tag.Get("max"))
}

func (f field) bound(tag string) int64 {
	v, err := f.parse(f.tag.Get(tag))
	if err != nil {
		return 0
	}
	return reflect.ValueOf(v).Int()
}

func (f field) checkText(text string) string {
	if choices := f.tag.Get("oneof"); choices != "" {
		if !slices.Contains(strings.Split(choices, "|"), text) {
			return quote(text) + ": want " + strings.ReplaceAll(choices, "|", ", ")
		}
		return ""
	}
	name := f.tag.Get("check")
	check := checks[name]
	if check == nil || (text == "" && name != "given" && name != "listen") {
		return ""
	}
	want := check(text)
	if want == "" {
		return ""
	}
	if f.tag.Get("secret") == "dsn" || text == "" {
		return want
	}
	return quote(text) + ": " + want
}
