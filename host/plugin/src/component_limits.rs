/// What a component may contain, checked before it is compiled: compiling takes time and memory in proportion to it.
///
/// The defaults are well above what a component with a language runtime contains. In November 2026, one built by
/// componentize-js had 12,700 functions, 9.2 MB of code (172 kB in one function) and 147 types; one built by componentize-py
/// had 13,500 functions, 6.6 MB of code (427 kB in one function), 1,300 types and 0.4 MB of declarations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentLimits {
    /// Bytes of the file.
    pub bytes: usize,
    /// Functions in all its modules together, and those that pass calls between the modules and the host.
    pub functions: usize,
    /// Bytes of the code of all functions together. Each local variable counts as one more byte.
    pub code_bytes: usize,
    /// The same of one function. Optimizing a function takes more than twice as long if it is twice as large.
    pub function_bytes: usize,
    /// Types in all its modules and interfaces together.
    pub types: usize,
    /// Bytes of everything else but data: types, imports, exports, elements of tables, and so on.
    pub declaration_bytes: usize,
    /// Tables.
    pub tables: u32,
    /// Memories.
    pub memories: u32,
}

impl Default for ComponentLimits {
    fn default() -> Self {
        Self {
            bytes: 64 << 20,
            functions: 50_000,
            code_bytes: 16 << 20,
            function_bytes: 768 << 10,
            types: 5000,
            declaration_bytes: 2 << 20,
            tables: 4,
            memories: 2,
        }
    }
}
