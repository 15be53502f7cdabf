// Command quickstart is the program in the readme, which a test compares.
package main
