//go:build ignore

// Prints the path of every field of kops's v1alpha2 objects, taken from the Go types by their `json` tags:
//
//	go run fields.go FOLDER…
//
// where each folder holds the files of pkg/apis/kops/v1alpha2 of one release of kops. What fields.txt was made of is
// said in its first lines. Items of a list are `[]`, values of a map `{}`.
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log"
	"os"
	"reflect"
	"sort"
	"strings"
)

// The fields of Kubernetes's own types, which lie in other modules. Those that aren't here are single values.
var foreign = map[string][]string{
	"metav1.TypeMeta": {"apiVersion", "kind"},
	"metav1.ObjectMeta": {
		"annotations{}", "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "finalizers[]",
		"generateName", "generation", "labels{}", "managedFields[]", "name", "namespace", "ownerReferences[]",
		"resourceVersion", "selfLink", "uid",
	},
	"corev1.EnvVar":     {"name", "value", "valueFrom"},
	"corev1.Toleration": {"effect", "key", "operator", "tolerationSeconds", "value"},
	"corev1.Affinity":   {"nodeAffinity", "podAffinity", "podAntiAffinity"},
}

// The types of one release, those that the walk is inside of, and the paths found so far in all.
type walk struct {
	types  map[string]ast.Expr
	inside map[string]bool
	paths  map[string]bool
}

func main() {
	log.SetFlags(0)
	paths := map[string]bool{}
	for _, folder := range os.Args[1:] {
		types, err := declared(folder)
		if err != nil {
			log.Fatal(err)
		}
		for _, kind := range []string{"Cluster", "InstanceGroup", "SSHCredential"} {
			walk{types, map[string]bool{}, paths}.at(&ast.Ident{Name: kind}, kind)
		}
	}
	sorted := []string{}
	for path := range paths {
		sorted = append(sorted, path)
	}
	sort.Strings(sorted)
	for _, path := range sorted {
		fmt.Println(path)
	}
}

// Every type that a package declares.
func declared(folder string) (map[string]ast.Expr, error) {
	types := map[string]ast.Expr{}
	own := func(file fs.FileInfo) bool { return !strings.HasSuffix(file.Name(), "_test.go") }
	packages, err := parser.ParseDir(token.NewFileSet(), folder, own, 0)
	for _, found := range packages {
		ast.Inspect(found, func(node ast.Node) bool {
			if declaration, ok := node.(*ast.TypeSpec); ok {
				types[declaration.Name.Name] = declaration.Type
			}
			_, function := node.(*ast.FuncDecl)
			return !function
		})
	}
	return types, err
}

func (w walk) at(kind ast.Expr, path string) {
	switch kind := kind.(type) {
	case *ast.StarExpr:
		w.at(kind.X, path)
	case *ast.ArrayType:
		w.at(kind.Elt, path+"[]")
	case *ast.MapType:
		w.at(kind.Value, path+"{}")
	case *ast.StructType:
		w.fields(kind, path)
	case *ast.Ident:
		// A type that contains itself is a single value where it stands again.
		if declared, ok := w.types[kind.Name]; ok && !w.inside[kind.Name] {
			w.inside[kind.Name] = true
			w.at(declared, path)
			delete(w.inside, kind.Name)
		} else {
			w.paths[path] = true
		}
	case *ast.SelectorExpr:
		fields := foreign[fmt.Sprintf("%s.%s", kind.X, kind.Sel)]
		for _, field := range fields {
			w.paths[path+"."+field] = true
		}
		if fields == nil {
			w.paths[path] = true
		}
	default:
		log.Fatalf("%s: %T", path, kind)
	}
}

func (w walk) fields(kind *ast.StructType, path string) {
	if len(kind.Fields.List) == 0 {
		w.paths[path] = true
	}
	for _, field := range kind.Fields.List {
		tag := ""
		if field.Tag != nil {
			tag = reflect.StructTag(strings.Trim(field.Tag.Value, "`")).Get("json")
		}
		name, options, _ := strings.Cut(tag, ",")
		switch {
		case name == "-":
		case name == "" && (strings.Contains(options, "inline") || len(field.Names) == 0):
			w.at(field.Type, path)
		case name == "":
			log.Fatalf("%s.%s has no name in JSON", path, field.Names[0])
		default:
			w.at(field.Type, path+"."+name)
		}
	}
}
