// Package security tests, on real servers, who may do what: Redis users with the rights
// that "cenote acl" prints, connections over TLS, and what a program that fails shows.
package security
