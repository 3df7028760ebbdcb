/// What a component may contain, checked before it is compiled: compiling takes time and memory in proportion to it. The
/// defaults are far above what components with a JavaScript or Python runtime contain.
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
            function_bytes: 512 << 10,
            types: 5000,
            declaration_bytes: 1 << 20,
            tables: 4,
            memories: 2,
        }
    }
}
