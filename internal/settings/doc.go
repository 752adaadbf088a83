// Package settings reads configuration files: YAML with the names of flags as keys.
//
// A file is a mapping of names to values:
//
//	name: n1
//	listen: 10.0.0.1:2379
//	initial-cluster: [n1=10.0.0.1:2380, n2=10.0.0.2:2380]
//	quota-bytes: 4GiB
//
// A file of profiles holds such mappings by name, and may name the profile that is used by default:
//
//	default: prod
//	profiles:
//	  prod:
//	    endpoints: [10.0.0.1:2379, 10.0.0.2:2379]
//	    certs-dir: /home/ann/certs
//
// A value has the type of its flag ([Kind]). Read returns it as the text that the command line would have, so both ways share all
// further checks. A list becomes a text with commas.
//
// The reader is strict, because a setting that is ignored or misread silently can cost data. It reports every fault with its line:
// unknown and repeated names, values of a wrong type, names without a value. It refuses anchors, aliases and tags of its own, so a
// short file cannot expand into a large one, and a file over settingsBytes, before it is parsed.
package settings
